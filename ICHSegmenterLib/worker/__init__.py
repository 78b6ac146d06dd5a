"""The worker process: analyses for the panel and the batch, with networks kept warm, one JSON object a line.

Start it with `python -u -m ICHSegmenterLib.worker`. Requests come on stdin, answers leave on stdout, stderr is the
log for people; voxels travel as .npy files in a job folder. `protocol` holds the types, the version and what both
sides must read alike. The messages:

Requests, each with "type" and (except ping, free, shutdown) an "id" that every answer repeats:
    analyze    job (folder with hu.npy), geometry, source, brain_mask (file in the job folder or null);
               request (AnalysisRequest.to_json)
    compare    the exam as for analyze; request (CompareRequest.to_json)
    check      the exam as for analyze: what is found about it before any method runs; no torch is imported
    read       job, path (a DICOM folder or file, or an image file), series_uid (null to let the series be found):
               the exam, its voxels written to the job folder, or the series to choose from; no torch is imported
    warm       request (AnalysisRequest.to_json): load the network now
    report     the exam as for analyze, with its segments as segments.npy; result (AnalysisResult.to_json), labels
               (their keys, by value), edited (keys of those that a person changed), folder (to write), outputs,
               slice_files (DICOM files of the exam, in any order) or slice_folder and instance_uids; no torch is
               imported
    describe   methods with their weights, processors, torch
    download   method, all_files;  import  paths;  remove  names;  verify: read every weight file again
    test       device: compute there and compare with the CPU;  diagnose: a text for a report of a problem
    cancel     id of a running or waiting request;  ping;  free (drop warm networks);  shutdown
Answers:
    hello      protocol, version, pid, python, torch: the first line
    progress   id, done, total, phase (protocol.Phase), method (empty unless several take part)
    result     id, result (AnalysisResult.to_json), labelmap, maps, uncertainty and activation (files in the job
               folder, or null);
               of compare: results (the same with "method", for each that succeeded), agreement (Comparison.to_json),
               vote (like one of results, by majority; null without any); its progress counts thousandths of all
    done       id and what the request asked for (of check: findings, each InputFinding.to_json; of read: geometry,
               source, instance_uids, or series to choose from; of report: files, left_out; of verify: files, each with
               name, condition, is_bundled; of test: device, precision, milliseconds);  pong
    error      id, kind (one of errors.ERROR_KINDS), message (what to do), details (for the log)
When stdin ends the worker ends, in mid-run too, so that no process outlives Slicer.
"""
