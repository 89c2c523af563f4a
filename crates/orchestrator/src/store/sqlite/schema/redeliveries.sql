-- An endpoint's deliveries since a time are found without a look at those of others.
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, id);
