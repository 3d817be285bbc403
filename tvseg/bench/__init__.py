"""Measurements of time and memory: TVConv against its rivals, alone and inside the network."""
