package normalizer

import "time"

// isUTC tells whether t is a valid time of the form 2006-01-02T15:04:05Z with up to nine digits of fraction: the form in which
// the service writes times, which then can be copied.
func isUTC(t text) bool {
	const form = "dddd-dd-ddTdd:dd:dd"
	if len(t) < len(form)+1 || t[len(t)-1] != 'Z' {
		return false
	}
	for i := range len(form) {
		if c := t[i]; form[i] == 'd' && !digit(c) || form[i] != 'd' && c != form[i] {
			return false
		}
	}
	if fraction := t[len(form) : len(t)-1]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) < 2 || len(fraction) > 10 {
			return false
		}
		for _, c := range fraction[1:] {
			if !digit(c) {
				return false
			}
		}
	}
	two := func(i int) int { return int(t[i]-'0')*10 + int(t[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(5), two(8)
	return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) && two(11) < 24 && two(14) < 60 && two(17) < 60
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// appendTime appends RFC 3339 in UTC.
func appendTime(dst []byte, t time.Time) []byte { return t.UTC().AppendFormat(dst, time.RFC3339Nano) }

// milliseconds gives a time of isUTC's form in milliseconds since 1970, without the digits behind them.
func milliseconds(t text) int64 {
	number := func(digits text) (n int) {
		for _, c := range digits {
			n = n*10 + int(c-'0')
		}
		return n
	}
	at := time.Date(number(t[:4]), time.Month(number(t[5:7])), number(t[8:10]), number(t[11:13]), number(t[14:16]), number(t[17:19]), 0, time.UTC)
	ms := at.UnixMilli()
	for i, unit := 20, int64(100); i < len(t)-1 && unit > 0; i, unit = i+1, unit/10 {
		ms += int64(t[i]-'0') * unit
	}
	return ms
}
