"""Messages to people and programs: by mail, by SMS, by signed webhooks; kept until they have arrived."""
