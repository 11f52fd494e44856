#!/bin/sh
rsync -a old-01.example.net:/pub/ pub/
