-- A row while nothing starts from the jobs and nothing is sent: `meetbot restore --paused` writes it, `meetbot unpause` deletes it.
CREATE TABLE paused (since INTEGER NOT NULL);
