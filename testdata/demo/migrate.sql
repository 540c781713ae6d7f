CREATE TABLE greeting (text varchar NOT NULL);
INSERT INTO greeting VALUES ('Hello from a database that was healthy in time');
SELECT '<h1>' || text || '</h1>' FROM greeting;
