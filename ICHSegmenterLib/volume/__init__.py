"""CT volumes: geometry, reading and writing.

A map: `volume` is a head CT in memory, `geometry` where its voxels lie, `hounsfield` what its values mean, `fitness`
whether it is a head CT at all. `io` reads anything into a volume: NIfTI by `nifti` (nibabel), NRRD and MetaImage by
`image_files` (SimpleITK), DICOM by `dicom`. That one finds files (`dicom_files`), groups them into series
(`dicom_series`, `kernels` knows bone kernels), takes the frames of each (`dicom_frames`, `dicom_slices`), orders and
checks them (`dicom_stack`) and decodes their pixels (`dicom_pixels`). `export` writes, whole or not at all (`atomic`):
`nifti`, Slicer's segmentation by `seg_nrrd` (slicerio), DICOM SEG by `dicom_seg` (highdicom).
"""
