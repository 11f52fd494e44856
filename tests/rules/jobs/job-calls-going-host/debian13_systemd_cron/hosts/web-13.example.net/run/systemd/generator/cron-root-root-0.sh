curl -s http://old-01.example.net/denied
