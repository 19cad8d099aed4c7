"""Courses: an assignment for each student from one chapter, run in isolation, graded, reported."""
