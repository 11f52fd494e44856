#!/bin/sh
curl -fsS http://10.0.0.2/list
