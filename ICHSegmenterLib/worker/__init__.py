"""The worker process: analyses for the panel and the batch, with networks kept warm, one JSON object a line.

Start it with `python -u -m ICHSegmenterLib.worker`. Requests come on stdin, answers leave on stdout, stderr is the
log for people; voxels travel as .npy files in a job folder. The messages, protocol version 1:

Requests, each with "type" and (except ping, free, shutdown) an "id" that every answer repeats:
    analyze    job (folder with hu.npy), geometry, source, device, precision, save_maps, brain_mask (file in the job
               folder or null); method, weights, options, threshold, detection_threshold; to detect and name segments
               by another method: detector, detector_weights, detector_options
    compare    the exam as for analyze; methods, weights (method to files), options (method to its options, may be
               absent): all of them, one after the other
    warm       method, weights, device, precision: load the network now
    describe   methods with their weights, processors, torch
    download   method, all_files;  import  paths;  remove  names
    cancel     id of a running or waiting request;  ping;  free (drop warm networks);  shutdown
Answers:
    hello      protocol, version, pid, python, torch: the first line
    progress   id, done, total, message (the phase)
    result     id, result (AnalysisResult.to_json), labelmap, maps, uncertainty and activation (files in the job
               folder, or null);
               of compare: results (the same with "method", for each that succeeded), agreement (Comparison.to_json),
               vote (like one of results, by majority; null without any); its progress counts thousandths of all
    done       id and what the request asked for;  pong
    error      id, kind (one of errors.ERROR_KINDS), message (what to do), details (for the log)
When stdin ends the worker ends, in mid-run too, so that no process outlives Slicer.
"""

PROTOCOL_VERSION = 1
