"""What ``tvseg show`` draws: affinity maps, layout statistics."""
