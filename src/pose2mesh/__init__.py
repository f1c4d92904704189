"""From a 2D human pose to a 3D human mesh."""
