// The challenge's service on Go's net/http: one map and two totals behind a mutex.
//
//	go build -o net_http_event benches/peers/event/main.go && ./net_http_event PORT
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"sync"
)

type event struct {
	UserID string  `json:"userId"`
	Value  float64 `json:"value"`
}

type stats struct {
	TotalRequests int     `json:"totalRequests"`
	UniqueUsers   int     `json:"uniqueUsers"`
	Sum           float64 `json:"sum"`
	Avg           float64 `json:"avg"`
}

type tally struct {
	sync.Mutex
	users map[string]struct{}
	stats stats
}

func (t *tally) postEvent(w http.ResponseWriter, r *http.Request) {
	var e event
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	t.Lock()
	t.users[e.UserID] = struct{}{}
	t.stats.TotalRequests++
	t.stats.Sum += e.Value
	t.Unlock()
	w.WriteHeader(http.StatusOK)
}

func (t *tally) getStats(w http.ResponseWriter, _ *http.Request) {
	t.Lock()
	s := t.stats
	s.UniqueUsers = len(t.users)
	t.Unlock()
	if s.TotalRequests > 0 {
		s.Avg = s.Sum / float64(s.TotalRequests)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("net_http_event PORT")
	}
	t := &tally{users: map[string]struct{}{}}
	http.HandleFunc("/event", t.postEvent)
	http.HandleFunc("/stats", t.getStats)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
