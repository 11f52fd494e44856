"""Schedulers beside cron and systemd: pipelines of code hosts, Jenkins, Windows tasks and at; one module each."""
