"""Rules without Python: YAML with expressions of CEL, and their tests.

Light to import: pydantic, YAML and CEL are loaded when such a file is read.
"""
