"""Joints to pictures: figures, rooms, light, cameras and their sensors."""
