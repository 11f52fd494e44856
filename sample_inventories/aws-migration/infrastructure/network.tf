resource "aws_security_group" "ship_db" {
  name = "ship-db"

  ingress {
    description = "ship-api-01"
    from_port   = 5432
    to_port     = 5432
    protocol    = "tcp"
    cidr_blocks = ["10.80.1.15/32"]
  }

  ingress {
    description = "services on ECS"
    from_port   = 5432
    to_port     = 5432
    protocol    = "tcp"
    cidr_blocks = ["10.80.4.0/24"]
  }
}

resource "aws_eip_association" "ship_api_01" {
  instance_id   = "i-0c1f4e9d2a7b83560"
  allocation_id = "eipalloc-0a9b8c7d"
}
