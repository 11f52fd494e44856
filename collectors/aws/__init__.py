"""Answers of the AWS API, one file an operation: `aws/<account>/<region>/<service>.<Operation>.json`."""
