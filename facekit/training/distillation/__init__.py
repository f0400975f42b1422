"""Distillation: students, teachers, and how a student starts."""
