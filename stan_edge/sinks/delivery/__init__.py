"""What must arrive: messages to other systems, kept until they have them."""
