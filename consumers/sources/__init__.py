"""Where frames come from, what may be read, and where frames lie between the stages."""
