"""Training of face verification networks."""
