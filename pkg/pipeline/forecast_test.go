package pipeline

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestForecast feeds samples of how much is used, in percent of the journal and one a minute, and names the minutes with a
// warning.
func TestForecast(t *testing.T) {
	line := func(from, perMinute float64, n int) (used []float64) {
		for i := range n {
			used = append(used, from+perMinute*float64(i))
		}
		return used
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var restless []float64 // what a page or two make of a journal that is emptied again and again
	for range 600 {
		restless = append(restless, rng.Float64()*5)
	}
	for _, tt := range []struct {
		name  string
		used  []float64
		warns []int
		left  time.Duration // at the end
	}{
		{"empty", line(0, 0, 60), nil, 0},
		{"passing through", restless, nil, -1},
		{"over half from the start", line(60, 0, 60), []int{0}, 0},
		{"too slow to matter", line(0, 0.05, 300), nil, 100 * (100 - 0.05*299) / 5 * time.Minute},
		// 1 % a minute: the first warning with 89 minutes left, then with 44, 21, .. and the last when it is full.
		{"an hour and a half", line(0, 1, 103), []int{11, 56, 78, 90, 96, 98, 99, 100}, 0},
		{"ten minutes prove nothing", line(0, 3, 10), nil, 0},
		{"emptied", append(line(0, 1, 60), line(60, -1, 60)...), []int{11, 56}, 0},
		{"again", append(append(line(0, 2, 40), line(0, 0, 40)...), line(0, 1, 20)...), []int{10, 30, 91}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const most = 1 << 33
			f := forecast{most: most}
			at := time.Now()
			var warns []int
			for i, percent := range tt.used {
				room := most - int64(percent/100*most)
				if f.look(at.Add(time.Duration(i)*time.Minute), room) {
					warns = append(warns, i)
				}
				if left := f.left(room); i == len(tt.used)-1 && tt.left >= 0 && (left-tt.left).Abs() > time.Second {
					t.Errorf("%s are left, want %s", left, tt.left)
				}
				if len(f.samples) > samplesKept {
					t.Fatalf("%d samples are kept", len(f.samples))
				}
			}
			if !slices.Equal(warns, tt.warns) {
				t.Errorf("warned in minutes %v, want %v", warns, tt.warns)
			}
		})
	}
}
