"""Writes pages to look at: one scan with its findings, and the report of a run.

Each page is one HTML file that holds its pictures, its style sheet and its script. It asks for
nothing from any server.
"""
