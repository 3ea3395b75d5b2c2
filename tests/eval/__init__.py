"""Measures accuracy on labelled videos and photographs; run by hand."""
