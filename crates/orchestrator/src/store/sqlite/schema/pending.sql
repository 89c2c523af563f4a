-- Deliveries under way are counted, and their oldest is found, without a look at those that were given up.
CREATE INDEX deliveries_pending ON deliveries (id) WHERE state = 'pending';
