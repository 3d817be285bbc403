"""Face pictures and pairs: reading, checking, drawing."""
