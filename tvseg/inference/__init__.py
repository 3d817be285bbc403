"""From a photograph to contours and measurements."""
