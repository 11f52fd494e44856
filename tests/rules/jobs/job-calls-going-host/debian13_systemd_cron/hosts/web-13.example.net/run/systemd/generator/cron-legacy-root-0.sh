curl -s http://old-01.example.net/cron
