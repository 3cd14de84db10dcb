"""What a person holds who talks to an agent without a telephone: each device is a leg, and what hears it."""
