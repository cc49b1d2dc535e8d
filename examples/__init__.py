"""Programs that use EnfPire as its users do."""
