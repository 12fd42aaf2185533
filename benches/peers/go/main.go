// The service on Go's net/http: one map and two totals behind a mutex.
//
//	go build -o target/net_http go/main.go && target/net_http PORT
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"sync"
)

type message struct {
	Message string `json:"message"`
}

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
	writeJSON(w, s)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("net_http PORT")
	}
	t := &tally{users: map[string]struct{}{}}
	http.HandleFunc("/plaintext", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("Hello, World!"))
	})
	http.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, message{"Hello, World!"})
	})
	http.HandleFunc("/event", t.postEvent)
	http.HandleFunc("/stats", t.getStats)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
