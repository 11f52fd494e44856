#!/bin/sh
curl -fsS https://files.example.net/list
