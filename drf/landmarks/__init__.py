"""Landmarks as values: markups, shapes, frames of coordinates, the pose they tell, and how they are
drawn.
"""
