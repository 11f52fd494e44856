"""Built-in rules, one module a rule, in families.

They import `auditor.api`, and nothing else of the auditor.
"""
