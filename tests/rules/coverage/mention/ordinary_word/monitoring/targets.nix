# The tracker and its queue.
{ targets = [ "tracker:9100" "tracker.example.net:9187" ]; }
