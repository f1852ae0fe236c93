"""The follower: from Kafka to a database that shows only prefixes of the commit order."""
