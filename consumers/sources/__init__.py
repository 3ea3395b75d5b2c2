"""Sources of frames: opening and segmenting them, what may be read, and the frame store between the stages."""
