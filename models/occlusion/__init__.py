"""The occlusion classifier: data, training, evaluation and export. Only training and export need torch."""
