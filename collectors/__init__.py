"""Built-in collectors, one module or package a source format.

They import `auditor.api`, and nothing else of the auditor.
"""
