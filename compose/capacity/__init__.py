"""Capacity planning: how many workers of each stage a load needs, by discrete-event simulation."""
