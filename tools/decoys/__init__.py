"""Answers that a call did not get, for the filter to compare with the one it got. Knows no tool."""
