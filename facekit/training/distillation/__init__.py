"""Distillation: students, teachers, and initialization of students."""
