"""Phantoms of a style of their own each: no two photographs share colours, light or framing."""
