"""The occlusion classifier: its data, training, evaluation and export. Training needs torch, evaluation does not."""
