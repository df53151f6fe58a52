package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// CronRow is when a schedule fires after a time. Without a firing Next is
// empty, and a schedule that is none is not valid.
type CronRow struct {
	Schedule string `json:"schedule"`
	After    string `json:"after"`
	Valid    bool   `json:"valid"`
	Next     string `json:"next,omitempty"`
}

var schedules = []string{
	"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@never", "@Hourly", "@every 1h", "@every", "@every x",
	"", " ", "* * * * *", "  *  *  * *   * ", "* * * *", "* * * * * *", "? ? ? ? ?", "*/15 * * * *", "0-59/7 * * * *", "5/10 * * * *",
	"0 0 29 2 *", "0 0 30 2 *", "0 0 31 * *", "0 0 13 * 5", "0 0 13 * */2", "0 0 */2 * 5", "0 0 * * 7", "0 0 * * 0", "0 0 * * sun", "0 0 * * MON-Fri",
	"0 0 1 JAN-mar/2 *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "5-1 * * * *", "*/0 * * * *", "1,2,,3 * * * *",
	", * * * *", "1/2/3 * * * *", "1-2-3 * * * *", "+5 * * * *", "-5 * * * *", "*-5 * * * *", "*/1 * */1 * 1", "a * * * *", "1.5 * * * *", "* * L * *",
	"* * * * 5#2", "0 0 1 1 ?", "59 23 31 12 *", "*/70 * * * *", "0 0 29 2 1", "* * 31 2,4 *", "0x5 * * * *", "٣ * * * *", "TZ=UTC 5 5 * * *", "CRON_TZ=UTC @daily",
}

func randomField(r *rand.Rand, first, last int, names []string) string {
	number := func() string {
		n := first + r.Intn(last-first+1)
		if len(names) > 0 && r.Intn(3) == 0 {
			return names[n-first]
		}
		return fmt.Sprint(n)
	}
	var parts []string
	for range 1 + r.Intn(2) {
		var part string
		switch r.Intn(6) {
		case 0, 1, 2:
			part = pick(r, []string{"*", "*", "*", "?"})
		case 3, 4:
			part = number()
		default:
			part = number() + "-" + number()
		}
		if r.Intn(4) == 0 {
			part += fmt.Sprintf("/%d", 1+r.Intn(last))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

func cronRows() []CronRow {
	r := rand.New(rand.NewSource(1))
	all := schedules
	months := []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	days := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	for range 500 {
		all = append(all, strings.Join([]string{
			randomField(r, 0, 59, nil), randomField(r, 0, 23, nil), randomField(r, 1, 31, nil),
			randomField(r, 1, 12, months), randomField(r, 0, 6, days),
		}, " "))
	}
	var rows []CronRow
	for _, schedule := range all {
		for range 3 {
			after := time.Date(2022+r.Intn(8), time.Month(1+r.Intn(12)), 1+r.Intn(31), r.Intn(24), r.Intn(60), r.Intn(3)*29, 0, time.UTC)
			row := CronRow{Schedule: schedule, After: after.Format(time.RFC3339)}
			parsed, err := cron.ParseStandard(schedule)
			if row.Valid = err == nil; row.Valid && !strings.HasPrefix(schedule, "@every") {
				if next := parsed.Next(after); !next.IsZero() {
					row.Next = next.UTC().Format(time.RFC3339)
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func writeCron(path string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, row := range cronRows() {
		if err := e.Encode(row); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
