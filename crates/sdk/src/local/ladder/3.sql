-- By what the server knows that the device's name is this device's.
ALTER TABLE person ADD COLUMN device_secret TEXT;
