{
  scrapeConfigs = [ { targets = [ "gluck:9100" "merkel:9100" ]; } ];
}
