#!/bin/sh
nmap --exclude old.example.net,web9.example.net 192.0.2.0/24
