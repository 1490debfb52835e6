package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
)

const onlyOrdinal = "only-ordinal"

// standBy idles until told to stop where --only-ordinal names another pod; done says that it has. Two pods that read the same
// tenants would deliver everything twice.
func standBy(cmd *cobra.Command, f runFlags, cfg *config.Config, log *zap.Logger) (done bool, err error) {
	if !cmd.Flags().Changed(onlyOrdinal) {
		return false, nil
	}
	if f.once {
		return false, fmt.Errorf("%w: --%s and --once do not go together: a pod that idles has no end of its own", app.ErrUsage, onlyOrdinal)
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	pod, own, err := ordinal(os.Getenv("POD_NAME"), host)
	if err != nil {
		return false, fmt.Errorf("%w: --%s: %w", app.ErrUsage, onlyOrdinal, err)
	}
	if own == f.ordinal {
		log.Info("this is the pod that works", zap.String("pod", pod), zap.Uint(onlyOrdinal, f.ordinal))
		return false, nil
	}
	// There is nothing to read again, and the default would end the process.
	signal.Ignore(syscall.SIGHUP)
	why := fmt.Sprintf("--%s is %d, and this is %s", onlyOrdinal, f.ordinal, pod)
	err = app.StandBy(cmd.Context(), cfg, app.Options{Version: Version(), Log: log}, why)
	log.Info("logferry stops", zap.Error(err))
	return true, err
}

// ordinal gives the number that a StatefulSet has put behind the last dash of its pod's name. name is the environment's POD_NAME;
// without it the host name counts, of which only the first part is the pod's.
func ordinal(name, host string) (pod string, n uint, err error) {
	pod, from := name, "POD_NAME"
	if pod == "" {
		pod, _, _ = strings.Cut(host, ".")
		from = "the host name"
	}
	number := pod[strings.LastIndexByte(pod, '-')+1:]
	u, err := strconv.ParseUint(number, 10, 31)
	if err != nil || number == pod || number != strconv.FormatUint(u, 10) {
		return "", 0, fmt.Errorf("%s %q does not end in a dash and a number, so it is no pod of a StatefulSet: set POD_NAME to the pod's name (fieldRef: metadata.name)", from, pod)
	}
	return pod, uint(u), nil
}
