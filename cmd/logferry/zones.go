package main

// The log shows times in the zone that TZ names, and neither the container image nor a bare machine has files of zones.
import _ "time/tzdata"
