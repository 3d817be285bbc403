"""Large sets of photographs, shared out to processes and machines."""
